"""Rules of the house that imports cannot show."""
