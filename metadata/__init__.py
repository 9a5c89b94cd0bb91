"""What is known of fine-tuning: runs, meta-features, configurations, surrogates. No torch, no web.

Read in this order: records -> methods, optimizers -> space, footprint -> features -> history ->
table -> surrogates -> knowledge -> evaluation.
"""
