"""What a voxel of a region array is: written by preparation.regions, read by patch_store.PatchStore."""

JOINT_GAP, METAL = 1, 2  # bits: background between two bones; within patches.metal_mm of metal
