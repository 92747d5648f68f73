"""Why does a voxel get its label? What notebooks/explore_embeddings.ipynb shows; widgets: view.py and controls.py."""
