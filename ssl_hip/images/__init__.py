"""Read a CT or a label in any format, and put it on another grid."""
