"""The lab has moved out of the product."""

raise ImportError("waypost.lab is now the package waypost_lab, which comes with waypost: import waypost_lab instead")
