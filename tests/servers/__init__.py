"""Real servers that the tests start on loopback ports and stop again."""
