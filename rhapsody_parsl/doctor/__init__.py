"""What a person wants to know of a host before a block runs there; each module looks at one thing and finds."""
