"""The same programs where one dense factorisation, or one machine, is too small."""
