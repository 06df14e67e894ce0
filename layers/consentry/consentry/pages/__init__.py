"""Hosted pages: texts in files, HTML from functions that escape."""
