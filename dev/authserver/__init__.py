"""The authorization servers of the local stack: strict by default, hostile on request, in memory only."""
