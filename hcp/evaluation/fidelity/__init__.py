"""How close drawn pictures are to photos: distances of distributions in a feature network."""
