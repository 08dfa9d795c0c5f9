"""Commands about nodes and who uses them: node list, node set, top."""
