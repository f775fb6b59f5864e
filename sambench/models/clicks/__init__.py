"""What the click models (RITM, SimpleClick, FocalClick) have in common: click maps, zoom-in, probability maps, the session."""
