// What the operator tells the page: config.json beside it.

import type { IdentityConfig } from "./identity";

export interface Service {
  id: string;
  name: string;
  colour: string;
}

export interface Config {
  broker: string;
  username: string | null;
  password: string | null;
  services: Service[];
  ice_servers: RTCIceServer[];
  identity: IdentityConfig | null; // null, in so many words: nobody is verified, for tests only
}

/** Reads config.json. Rejects when it is not there, is not JSON, or says nothing of identity. */
export async function readConfig(): Promise<Config> {
  const response = await fetch("config.json");
  if (!response.ok) throw new Error(`config.json: ${response.status}`);
  const config = (await response.json()) as Config;
  if (config.identity === undefined) throw new Error("config.json: identity is missing");
  return config;
}
