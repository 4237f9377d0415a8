"""Programs that know nothing of stillframe, run, captured, killed and resumed."""
