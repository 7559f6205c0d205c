"""The stock searchers, one a file, found through the entry-point group ``raynas.searchers`` like anyone else's."""
