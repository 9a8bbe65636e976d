//! Guests behind requests, as whoever sends the requests sees them: CGI programs, and guests that listen.

mod cgi;
mod php;
mod server;
mod site;
