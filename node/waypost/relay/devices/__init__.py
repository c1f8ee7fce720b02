"""The links of local devices."""
