"""Does anything announce a fall before it happens, and is it worth acting on?"""
