"""The four functions of torchvision that `segment-anything` calls, written from their documentation."""
