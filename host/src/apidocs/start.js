// Starts Swagger UI on the document beside it.
"use strict";

window.ui = SwaggerUIBundle({
  url: new URL("../openapi.json", document.currentScript.src).pathname,
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // Would send the document to a server of Swagger's.
  validatorUrl: null,
});
