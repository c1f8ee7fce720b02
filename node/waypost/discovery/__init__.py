"""Where other nodes may be: configuration, mDNS on a LAN, DNS elsewhere. Hints only; identity is proved on the link."""
