"""Fast arithmetic of SDP and SDM on the CPU."""
