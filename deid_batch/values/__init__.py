"""Pure functions on values, one module per kind. (PS3.5 6.2)"""
