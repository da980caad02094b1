CREATE TABLE "sweep_turn" (
	"name" text PRIMARY KEY NOT NULL,
	"started_at" timestamp with time zone NOT NULL,
	"before" text
);
