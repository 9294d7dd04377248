"""What the API serves from: releases of gold tables that belong together, and one immutable index for each."""
