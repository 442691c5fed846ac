"""Pictures with objects: sets, their files, and what a detector is shown of them."""
