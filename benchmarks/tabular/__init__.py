"""Parts of ``benchmarks/searchers.py``: a table and one search on it, many searches that are kept, the figures made of them."""
