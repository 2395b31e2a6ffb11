"""Who gets the coins where they do not suffice for everybody: rules, and placing by them."""
