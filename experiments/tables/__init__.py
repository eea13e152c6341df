"""Tables made from records and data sets."""
