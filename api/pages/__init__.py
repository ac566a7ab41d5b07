"""Pages for people: plain HTML, readable on a phone, no JavaScript needed."""
