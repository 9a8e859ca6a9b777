"""Studies, tables and figures made with crestfall. Not installed; run from the checkout."""
