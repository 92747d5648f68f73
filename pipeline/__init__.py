"""What runs the notebooks: papermill engine, canonical sources, parallel runs. Nothing here touches a result."""
