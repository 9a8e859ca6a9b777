"""What this repository finds out with crestfall: studies, tables, figures. Not installed; run from the checkout."""
