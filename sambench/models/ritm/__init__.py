"""RITM: reviving iterative training with mask guidance for interactive segmentation (arXiv 2102.06583)."""
