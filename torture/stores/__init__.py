"""The adapters that come with the kit."""
