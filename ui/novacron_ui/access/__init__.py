"""Who sits at the browser: logged in by a cookie, or let in without."""
