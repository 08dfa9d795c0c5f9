"""What a GPU model can be, as tables made once per model: slots, layouts, states, weights of requests.

Not here: which GPUs there are and what is on them (working_copy/).
"""
