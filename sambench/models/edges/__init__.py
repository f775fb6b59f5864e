"""Edge detectors that need no training, and folders of edge maps made elsewhere."""
