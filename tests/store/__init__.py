"""The store, by itself: no processes hold states here."""
