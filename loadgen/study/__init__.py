"""The study: experiments as data, run in fresh processes, kept with everything they were made of."""
