"""Labels: labelled points, sparse masks made from them, and checks of points."""
