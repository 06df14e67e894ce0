"""Acme: an example company that offers its customers integrations through Consentry."""
