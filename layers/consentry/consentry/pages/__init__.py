"""Hosted pages: files, rendered with escaping."""
