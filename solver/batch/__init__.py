"""All waiting requests planned together: columns and counts instead of objects, one optimum per batch.

Not here: what one request at a time needs (sequential/), and whose turn it is (quota/).
"""
