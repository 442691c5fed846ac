"""Faster R-CNN on a compiled backbone (He et al. 2015, appendix A)."""
