"""The cluster itself: how it is joined, which machines it has, and what is asked of them."""
