"""Training of networks from videos and pictures: ``streamvsr train``. Not needed to run them."""
