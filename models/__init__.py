"""The paper's own models: SDP, SDM and SDMR."""
