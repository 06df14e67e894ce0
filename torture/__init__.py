"""The torture kit: what providers and networks do to OAuth grants, done to any token store, and counted.

`docs/torture.md` says how to run it and how to write an adapter.
"""
