"""SimpleClick: interactive segmentation with plain vision transformers (Liu et al., ICCV 2023)."""
