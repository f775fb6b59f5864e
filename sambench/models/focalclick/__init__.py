"""FocalClick: towards practical interactive image segmentation (arXiv 2204.02574)."""
