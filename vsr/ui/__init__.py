"""The local page for people without a terminal: server, queue, and the page itself."""
