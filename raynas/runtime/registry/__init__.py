"""The weight registry in Ray's object store."""
